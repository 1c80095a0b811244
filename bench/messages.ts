/** The two messages that are measured, each with the RPC that takes it. */

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>

export interface Message {
  readonly proto: URL
  /** The full name of the service. */
  readonly service: string
  readonly rpc: string
  /** Of the route, on every HTTP server. */
  readonly url: string
  readonly request: Json
  readonly response: Json
  /** The handler's work: the response message for a request message. */
  readonly answer: (request: Json) => Json
}

export type MessageName = 'hello' | 'medium'

/** The root of the package. */
export const packageRoot = new URL('.', import.meta.resolve('fastify-grpc-gateway/package.json'))

const medium: Json = {
  id: '0d4f2b6e-5a51-4c43-9b3e-2f8f1c9d7a10',
  title: 'A Field Guide to Slow Rivers',
  description: 'What lives in and beside the slow rivers of the plains, "from spring to mouth", with 120 drawings, 14 maps of the larger basins, and a short key to the families of water plants.',
  quantity: 37,
  pageCount: 412,
  shelfOffset: -12,
  checksum: 3735928559,
  createdAtMs: '1719836400123',
  sizeBytes: '9007199254740993',
  balanceMicros: '-1250000',
  active: true,
  translated: true,
  score: 4.75,
  price: 24.99,
  genre: 'GENRE_SCIENCE',
  otherGenres: ['GENRE_HISTORY', 'GENRE_NOVEL'],
  thumbnail: Buffer.from(Array.from({ length: 48 }, (_, i) => i * 5)).toString('base64'),
  tags: ['rivers', 'plants', 'birds', 'fish', 'Übersicht'],
  ratings: [5, 4, 5, 3, 5, 4],
  samples: [0.125, 2.5, 1e-7, 31415.9265],
  labels: { language: 'en', binding: 'hardcover', edition: 'second' },
  stock: { berlin: 12, lisbon: 7, oslo: 18 },
  author: { name: 'Ada Lindqvist', email: 'ada@example.com', born: 1971, followerCount: '48213' },
  reviews: [
    { reviewer: 'tomas', text: 'Clear drawings, and light enough to carry.', stars: 5, verified: true },
    { reviewer: 'mei', text: 'I missed an index of the Latin names.', stars: 3, verified: true },
    { reviewer: 'ines', text: 'Lent it twice.', stars: 4, verified: true }
  ],
  shelf: 'N-14/3'
}

export const messages: Readonly<Record<MessageName, Message>> = {
  hello: {
    proto: new URL('protos/helloworld.proto', packageRoot),
    service: 'helloworld.Greeter',
    rpc: 'SayHello',
    url: '/grpc/greeter/sayhello',
    request: { name: 'World' },
    response: { message: 'Hello, World!' },
    answer: ({ name }) => ({ message: `Hello, ${name as string}!` })
  },
  medium: {
    proto: new URL('bench/medium.proto', packageRoot),
    service: 'bench.Mirror',
    rpc: 'Echo',
    url: '/grpc/mirror/echo',
    request: medium,
    response: medium,
    answer: message => message
  }
}
