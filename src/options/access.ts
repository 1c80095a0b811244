/** Who may call: what options say of it, and the gates of methods that come of them. */
import { accessGate, type Authenticator, type Authorizer } from '../auth/access.ts'
import type { Gate } from '../call/bound-method.ts'
import type { ServedService } from '../call/served-service.ts'
import { configurationErrors } from '../errors.ts'
import type { Method } from '../schema/service.ts'
import type { MethodSettings } from './methods.ts'

export interface AccessOptions {
  /**
   * Finds out who calls, once for each call of every protocol, after interceptors and before anything of the request
   * is read: `jwt`, `mtlsIdentity`, `bearerTokens`, `anyOf`, or a function. Default: everybody may call.
   */
  authenticate?: Authenticator | undefined
  /** Decides whether a principal may call; nothing but `true` lets it in. Those of `methods` are asked after it. */
  authorize?: Authorizer | undefined
  /**
   * Methods that everybody may call, for which `authenticate` is not asked: `helloworld.Greeter.SayHello`, or all of a
   * service, `helloworld.Greeter.*`. A `!` before a name takes it out again. `grpc.health.v1.Health.*` is public by
   * default.
   */
  publicMethods?: readonly string[] | undefined
}

type Options = AccessOptions & { readonly methods?: Readonly<Record<string, MethodSettings>> | undefined }

const PUBLIC_BY_DEFAULT = ['grpc.health.v1.Health.*']

/** For each option, what is wrong with a value. */
export const ACCESS_CHECKS = {
  authenticate: isFunction,
  authorize: isFunction,
  publicMethods: (value: unknown) => Array.isArray(value) && value.every(name => typeof name === 'string') ? undefined : 'must be a list of names, such as helloworld.Greeter.SayHello'
}

function isFunction (value: unknown): string | undefined {
  return typeof value === 'function' ? undefined : 'must be a function'
}

/**
 * Makes the function that says what calls of a method have to pass.
 *
 * @throws FGG_ERR_OPTION for rules without anybody to judge by them
 */
export function gates (options: Options): (method: Method) => Gate | undefined {
  const { authenticate, authorize, publicMethods = [], methods = {} } = options
  if (authenticate === undefined) {
    const of = authorize === undefined ? Object.keys(methods).find(name => methods[name]?.authorize !== undefined) : 'the gateway'
    if (of !== undefined) throw new configurationErrors.FGG_ERR_OPTION('authorize', `(of ${of}) needs \`authenticate\`, which says who calls`)
    return () => undefined
  }
  return ({ fullName }) => {
    if (isPublic(fullName, publicMethods)) return undefined
    const rules = [authorize, methods[serviceOf(fullName)]?.authorize, methods[fullName]?.authorize]
    return accessGate(authenticate, rules.filter(rule => rule !== undefined))
  }
}

/** The name of a method itself counts for more than that of its service. */
function isPublic (fullName: string, names: readonly string[]): boolean {
  const service = serviceOf(fullName)
  if (names.includes(`!${fullName}`)) return false
  if (names.includes(fullName)) return true
  return !names.includes(`!${service}`) && (names.includes(service) || PUBLIC_BY_DEFAULT.includes(service))
}

function serviceOf (fullName: string): string {
  return `${fullName.slice(0, fullName.lastIndexOf('.'))}.*`
}

/**
 * Checks what could not be checked before the services were known.
 *
 * @throws FGG_ERR_OPTION for public methods that do not exist, and for rules that would never be asked
 */
export function checkAccessNames ({ publicMethods = [], methods = {} }: Options, services: readonly ServedService[]): void {
  const known = services.flatMap(({ service }) => service.methods.map(({ fullName }) => fullName))
  const names = new Set([...known, ...known.map(serviceOf), ...PUBLIC_BY_DEFAULT])
  for (const name of publicMethods) {
    if (!names.has(name.replace(/^!/, ''))) throw new configurationErrors.FGG_ERR_OPTION('publicMethods', `names ${name}, which is none of: ${[...names].join(', ')}`)
  }
  for (const [name, { authorize }] of Object.entries(methods)) {
    const ruled = known.filter(fullName => fullName === name || serviceOf(fullName) === name)
    if (authorize !== undefined && ruled.every(fullName => isPublic(fullName, publicMethods))) {
      throw new configurationErrors.FGG_ERR_OPTION('methods', `has \`authorize\` at ${name}, which is public, so that nobody would ask it`)
    }
  }
}
