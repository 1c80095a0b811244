/** An application in one of the forms that are compared, over HTTP and gRPC. */
import type { AddressInfo } from 'node:net'
import { loadProto } from 'fastify-grpc-gateway'
import { deployment, Serve, type BoundDeployment, type DeploymentHandle } from 'fastify-grpc-gateway/serving'
import type { Json } from '../messages.ts'
import { announce, servedMessage } from '../server-process.ts'
import { SlowModel } from './slow-model.ts'

const { proto, service, rpc, answer } = servedMessage()

class Model {
  async answer (request: Json): Promise<Json> {
    return answer(request)
  }
}

/** Answers by another deployment. */
class Ingress<M extends Model | SlowModel> {
  readonly #model: DeploymentHandle<Model>

  constructor (model: DeploymentHandle<M>) {
    this.#model = model as DeploymentHandle<Model>
  }

  async SayHello (request: Json): Promise<Json> {
    return await this.#model.answer(request)
  }
}

class Alone {
  async SayHello (request: Json): Promise<Json> {
    return answer(request)
  }
}

const inThreads = (replicas: number): BoundDeployment => deployment(Ingress).bind(deployment(SlowModel, { replicas, module: new URL('slow-model.js', import.meta.url) }).bind())

const forms: Readonly<Record<string, () => BoundDeployment>> = {
  alone: () => deployment(Alone).bind(),
  composed: () => deployment(Ingress).bind(deployment(Model).bind()),
  'one-thread': () => inThreads(1),
  'four-threads': () => inThreads(4)
}

const serve = new Serve({ definitions: [loadProto(proto)[service]!], path: '/grpc', port: 0 })
const app = await serve.listen({ host: '127.0.0.1', port: 0 })
if (rpc !== 'SayHello') throw new Error(`The applications answer SayHello, not ${rpc}`)
await serve.run(forms[process.argv[3]!]!())
announce({ http: (app.server.address() as AddressInfo).port, grpc: serve.gateway.port })
