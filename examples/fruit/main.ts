/** Ray's fruit market, an application of three deployments: `npx tsx examples/fruit/main.ts` */
import { loadProto, type UnaryMethod } from '../../src/index.ts'
import { deployment, Serve, type DeploymentHandle } from '../../src/serving/index.ts'
import { grpcPort, httpPort, isMain, urlOf } from '../run.ts'

/** 64-bit integers are texts. */
interface FruitAmounts { orange: string, apple: string, banana: string }
interface FruitCosts { costs: number }

interface FruitServices {
  FruitService: { FruitStand: UnaryMethod<FruitAmounts, FruitCosts> }
}

export const { FruitService } = loadProto<FruitServices>(new URL('../../protos/ray/fruit.proto', import.meta.url))

class OrangeStand {
  readonly #price = 2

  cost (amount: number): number {
    return amount * this.#price
  }
}

class AppleStand {
  readonly #price = 3

  cost (amount: number): number {
    return amount * this.#price
  }
}

class FruitMarket {
  readonly #oranges: DeploymentHandle<OrangeStand>
  readonly #apples: DeploymentHandle<AppleStand>

  constructor (oranges: DeploymentHandle<OrangeStand>, apples: DeploymentHandle<AppleStand>) {
    this.#oranges = oranges
    this.#apples = apples
  }

  async FruitStand ({ orange, apple }: FruitAmounts): Promise<FruitCosts> {
    const [oranges, apples] = await Promise.all([this.#oranges.cost(Number(orange)), this.#apples.cost(Number(apple))])
    return { costs: oranges + apples }
  }
}

export const app = deployment(FruitMarket).bind(deployment(OrangeStand).bind(), deployment(AppleStand).bind())

if (isMain(import.meta.url)) {
  const serve = new Serve({ definitions: [FruitService], port: grpcPort, reflection: true })
  await serve.run(app, { name: 'fruit', routePrefix: '/fruit' })
  const http = await serve.listen({ port: httpPort })
  console.log(`gRPC ${serve.gateway.address}`)
  console.log(`HTTP ${urlOf(http)}`)
}
