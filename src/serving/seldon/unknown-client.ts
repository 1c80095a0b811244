/** Calls of which nobody knows the client, as Seldon answers them over gRPC, and as HTTP does. */
import type { Authenticator, PrincipalOf } from '../../auth/access.ts'
import { isNobody } from '../../auth/access.ts'
import { challengeError, challengesOf, DEFAULT_CHALLENGE } from '../../auth/challenge.ts'
import type { CallContext } from '../../call/context.ts'
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'

const DETAILS = 'Could not determine client from oauth_token'

/** PERMISSION_DENIED over gRPC, 401 over HTTP. */
export function unknownClient ({ protocol }: CallContext, cause?: GrpcError): GrpcError {
  const challenges = cause === undefined ? [] : challengesOf(cause)
  return challengeError(protocol === 'grpc' ? status.PERMISSION_DENIED : status.UNAUTHENTICATED, DETAILS, challenges.length > 0 ? challenges : [DEFAULT_CHALLENGE], cause)
}

/**
 * The same authenticator, which refuses clients as Seldon does: PERMISSION_DENIED over gRPC, 401 over HTTP, `Could not
 * determine client from oauth_token`.
 *
 * @example
 * new GrpcGateway({ services: seldon.services, authenticate: asSeldon(credentials.authenticate) })
 */
export function asSeldon<A extends Authenticator<unknown>> (authenticate: A): Authenticator<PrincipalOf<A>> {
  const { ready } = authenticate
  return Object.assign(async (context: CallContext) => {
    let refusal: GrpcError | undefined
    try {
      const principal = await authenticate(context)
      if (!isNobody(principal)) return principal as PrincipalOf<A>
    } catch (error) {
      if (!(error instanceof GrpcError) || error.code !== status.UNAUTHENTICATED) throw error
      refusal = error
    }
    throw unknownClient(context, refusal)
  }, { ready })
}
