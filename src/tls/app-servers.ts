/** The servers of a Fastify app, which has one for each address of `localhost`. */

/**
 * All but `app.server`. Fastify keeps them under a symbol of its own; should it be named otherwise one day, their
 * connections are not told of a drain, and their certificates stay as they were at the start.
 */
export function otherServers (app: object): readonly object[] {
  const symbol = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.serverBindings')
  if (symbol !== undefined) return (app as Record<symbol, object[]>)[symbol]!
  // Scopes inherit from the app.
  const parent = Object.getPrototypeOf(app)
  return parent === null ? [] : otherServers(parent)
}
