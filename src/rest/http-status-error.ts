/** An error whose HTTP status says more than that of its gRPC code. */
export class HttpStatusError extends Error {
  readonly statusCode: number

  constructor (statusCode: number, message: string) {
    super(message)
    this.statusCode = statusCode
  }
}
