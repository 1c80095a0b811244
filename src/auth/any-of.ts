/** Several ways to authenticate, of which one is enough. */
import { GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import { isNobody, type Authenticator, type PrincipalOf } from './access.ts'
import { challengeError, challengesOf, DEFAULT_CHALLENGE } from './challenge.ts'

/**
 * Tries authenticators one after the other, until one knows the client. Those that end with UNAUTHENTICATED or
 * PERMISSION_DENIED give way to the next; any other error ends the call, as it may hide somebody.
 *
 * @example
 * authenticate: anyOf(mtlsIdentity(), jwt({ … }))
 */
export function anyOf<A extends ReadonlyArray<Authenticator<unknown>>> (...authenticators: A): Authenticator<PrincipalOf<A[number]>> {
  const ready = Promise.all(authenticators.map(({ ready }) => ready))
  ready.catch(() => {})
  return Object.assign(async (context: Parameters<Authenticator>[0]) => {
    const refusals: GrpcError[] = []
    for (const authenticate of authenticators) {
      try {
        const principal = await authenticate(context)
        if (!isNobody(principal)) return principal as PrincipalOf<A[number]>
      } catch (error) {
        if (!isRefusal(error)) throw error
        refusals.push(error)
      }
    }
    throw together(refusals)
  }, { ready })
}

function isRefusal (error: unknown): error is GrpcError {
  return error instanceof GrpcError && (error.code === status.UNAUTHENTICATED || error.code === status.PERMISSION_DENIED)
}

/** Who is known but not allowed, or has wrong credentials, hears of that; who has none, of all the ways there are. */
function together (refusals: readonly GrpcError[]): GrpcError {
  const denied = refusals.find(({ code }) => code === status.PERMISSION_DENIED)
  if (denied !== undefined) return denied
  const challenges = [...new Set(refusals.flatMap(challengesOf))]
  const wrong = refusals.find(refusal => challengesOf(refusal).some(challenge => challenge.includes('error=')))
  return challengeError(status.UNAUTHENTICATED, wrong?.details ?? 'Authentication is required', challenges.length > 0 ? challenges : [DEFAULT_CHALLENGE], wrong?.cause)
}
