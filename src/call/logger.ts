/** The part of pino's, and so of Fastify's, logger that is used here. */
export interface Logger {
  debug (fields: object, message: string): void
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
  child (fields: object): Logger
}

/** For gateways that are given no logger and no app: warnings and errors go to stderr, the rest nowhere. */
export const consoleLogger: Logger = {
  debug () {},
  info () {},
  warn: (fields, message) => console.warn(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: bound => ({
    ...consoleLogger,
    warn: (fields, message) => console.warn(message, { ...bound, ...fields }),
    error: (fields, message) => console.error(message, { ...bound, ...fields })
  })
}
