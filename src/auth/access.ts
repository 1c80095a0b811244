/** Who may call a method: the gate that `authenticate` and `authorize` make, on every protocol. */
import type { CallContext } from '../call/context.ts'
import type { Gate } from '../call/bound-method.ts'
import type { Principal } from '../call/principal.ts'
import { GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import { challengeError, DEFAULT_CHALLENGE, withChallenge } from './challenge.ts'

/**
 * Finds out who calls. What it returns becomes `context.principal`; nothing, or `false`, stands for nobody and ends
 * the call with UNAUTHENTICATED. A GrpcError that it throws ends the call as it is, any other error with INTERNAL.
 */
export interface Authenticator<P = Principal> {
  (context: CallContext): P | Nobody | Promise<P | Nobody>
  /** What it needs before the first call; a gateway does not start when it rejects. */
  readonly ready?: Promise<unknown> | undefined
}

type Nobody = undefined | null | false | void

/**
 * Decides whether a principal may make a call. Nothing but `true` lets it in; else it ends with PERMISSION_DENIED, or
 * with the error that was thrown.
 */
export type Authorizer<P = Principal> = Bivariant<P>['authorizer']

/** So that a function may take what its gateway's `authenticate` returns, where nobody has declared that type. */
interface Bivariant<P> {
  authorizer (principal: P, context: CallContext): boolean | Promise<boolean>
}

/** @param rules all of which must let the call in, one after the other */
export function accessGate (authenticate: Authenticator, rules: readonly Authorizer[]): Gate {
  return async context => {
    const principal = await identify(authenticate, context)
    for (const rule of rules) {
      if (context.aborted !== undefined) return
      if (await rule(principal, context) !== true) throw new GrpcError(status.PERMISSION_DENIED, 'Permission denied')
    }
  }
}

async function identify (authenticate: Authenticator, context: CallContext): Promise<Principal> {
  let principal: Principal | Nobody
  try {
    principal = await authenticate(context)
  } catch (error) {
    throw withChallenge(error)
  }
  if (isNobody(principal)) throw challengeError(status.UNAUTHENTICATED, 'Authentication is required', [DEFAULT_CHALLENGE])
  context.identify(principal)
  return principal
}

export function isNobody (principal: unknown): principal is Nobody {
  return principal === undefined || principal === null || principal === false
}

/** What an authenticator returns for a client that it knows. */
export type PrincipalOf<A> = A extends (context: CallContext) => infer R ? Exclude<Awaited<R>, Nobody> : never
