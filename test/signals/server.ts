/** A gateway in a process of its own, for signals: `LISTEN` holds options of `listen` as JSON. */
import { setTimeout as sleep } from 'node:timers/promises'
import { urlOf } from '../../examples/run.ts'
import { GrpcGateway, implement, type ListenOptions } from '../../src/index.ts'
import { Greeter } from '../serving.ts'

const greeter = implement(Greeter, {
  async SayHello ({ name }) {
    if (name !== '') console.log(`Call ${name}`)
    if (name === 'slow') await sleep(500)
    if (name === 'endless') await sleep(60_000)
    return { message: name }
  }
})
const gateway = new GrpcGateway({ services: [greeter], port: 0 })
const app = await gateway.listen({ port: 0, host: '127.0.0.1', ...JSON.parse(process.env.LISTEN ?? '{}') as ListenOptions })
console.log(`gRPC ${gateway.address}`)
console.log(`HTTP ${urlOf(app)}`)
