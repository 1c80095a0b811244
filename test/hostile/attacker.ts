/** Attacks a server again and again, in a process of its own, until it is killed. */
import { attacks, type Target } from './attacks.ts'

const [name, target] = process.argv.slice(2) as [string, string]
const attack = attacks.find(attack => attack.name === name)!
const HOLD_MS = 60_000

process.send!('ready')
for (;;) {
  await attack.run(JSON.parse(target) as Target, HOLD_MS)
  await new Promise(resolve => setTimeout(resolve, 10))
}
