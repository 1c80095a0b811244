/** What a basket of fruit costs, as Ray's predict service tells it: `npx tsx examples/predict/main.ts` */
import { GrpcError, GrpcGateway, status } from '../../src/index.ts'
import { predictService } from '../../src/serving/index.ts'
import { grpcPort, httpPort, isMain, urlOf } from '../run.ts'

const PRICES: Readonly<Record<string, number>> = { ORANGE: 2, APPLE: 3 }

/** Amounts come as decimal digits, by the names of fruits. The price goes as a little-endian float of 32 bits. */
export function priceOf (amounts: Readonly<Record<string, Buffer>>): Buffer {
  const price = Buffer.alloc(4)
  price.writeFloatLE(Object.entries(amounts).reduce((sum, [fruit, amount]) => sum + costs(fruit) * numberOf(amount), 0))
  return price
}

function costs (fruit: string): number {
  if (!Object.hasOwn(PRICES, fruit)) throw new GrpcError(status.NOT_FOUND, `There is no ${fruit}`)
  return PRICES[fruit]!
}

function numberOf (amount: Buffer): number {
  const digits = amount.toString()
  if (!/^\d+$/.test(digits)) throw new GrpcError(status.INVALID_ARGUMENT, 'Amounts are decimal digits')
  return Number(digits)
}

if (isMain(import.meta.url)) {
  const gateway = new GrpcGateway({ services: [predictService(priceOf)], port: grpcPort, reflection: true })
  const app = await gateway.listen({ port: httpPort })
  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
}
