/** `drain`: what a load balancer is to notice before a server goes. */
import { askControl, pidOf } from './control.ts'
import { command, expectArguments } from './command.ts'
import { printLine, printProgress } from './output.ts'

export const drain = command({
  usage: '[pid]',
  about: `Has a server that \`serve\` runs on this machine drain: health says no, and clients are asked to use other
connections, while everything is still served. Only who runs the server can do so. Without a process id: the only
server of yours.`,
  options: {
    wait: { type: 'boolean', help: 'Come back when no call is open any more' },
    undo: { type: 'boolean', help: 'Take it back' }
  },
  notes: 'Prints the state of the server. To end one, send it SIGTERM: it drains and shuts down by itself.',
  async run ({ wait = false, undo = false }, positionals) {
    expectArguments(positionals, 0, 1, 'A process id')
    const pid = pidOf(positionals[0])
    if (wait && !undo) printProgress('Waiting for open calls')
    const { state } = await askControl(undo ? 'undrain' : wait ? 'drained' : 'drain', pid)
    printLine(String(state))
    return 0
  }
})
