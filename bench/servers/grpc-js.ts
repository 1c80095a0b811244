/** A grpc-js server, with the definition that proto-loader makes. */
import { announce, servedMessage } from '../server-process.ts'
import { startGrpcJs } from './start-grpc-js.ts'

announce({ grpc: await startGrpcJs(servedMessage()) })
