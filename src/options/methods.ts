/** Options of single methods and services, over those of the gateway. */
import type { Authorizer } from '../auth/access.ts'
import type { TimeoutPolicy } from '../call/deadline.ts'
import type { ServedMethod, ServedService } from '../call/served-service.ts'
import { configurationErrors } from '../errors.ts'
import type { JsonOptions } from '../json/options.ts'
import { isObject, oneOf } from './checks.ts'
import { checkCallLimits, type CallLimits } from './limits.ts'
import { checkJson, checkTimeout } from './values.ts'

/** What can differ from method to method. */
export interface MethodSettings {
  /** Overrides `json` for this method. */
  json?: JsonOptions | undefined
  /** Overrides `timeout` for this method. */
  timeout?: TimeoutPolicy | undefined
  /** Beside those of the gateway: of a method, or of a service and then shared by its methods. */
  limits?: CallLimits | undefined
  /** Decides, after the `authorize` of the gateway and then that of the service, whether a principal may call this method. All must let it in. */
  authorize?: Authorizer | undefined
}

export function checkMethods (value: Readonly<Record<string, MethodSettings>>): string | undefined {
  if (isObject(value) !== undefined) return 'must be an object'
  for (const [name, settings] of Object.entries(value)) {
    const problem = oneOf(settings as Record<string, unknown>, { json: 'object', timeout: 'object', limits: 'object', authorize: 'function' }) ??
      (settings.json && checkJson(settings.json as Record<string, unknown>)) ??
      (settings.timeout && checkTimeout(settings.timeout as Record<string, unknown>)) ??
      (settings.limits && checkCallLimits(settings.limits as Record<string, unknown>))
    if (problem !== undefined) return `${problem} (at ${name})`
  }
  return undefined
}

/**
 * Checks what could not be checked before the services were known.
 *
 * @throws FGG_ERR_OPTION for settings of a method or service that is none of theirs
 */
export function checkMethodNames (methods: Readonly<Record<string, MethodSettings>>, services: readonly ServedService[]): void {
  const known = new Set(services.flatMap(({ service }) => [`${service.fullName}.*`, ...service.methods.map(({ fullName }) => fullName)]))
  for (const name of Object.keys(methods)) {
    if (!known.has(name)) throw new configurationErrors.FGG_ERR_OPTION('methods', `names ${name}, which is none of: ${[...known].join(', ')}`)
  }
}

/**
 * What holds for one method: its own settings, else those of its service, else those of the gateway, which are not for
 * built-in services: a default timeout would end the watches of health clients.
 */
export function settingsOf<K extends Exclude<keyof MethodSettings, 'authorize'>> (options: MethodSettings & { readonly methods?: Readonly<Record<string, MethodSettings>> | undefined }, { method: { fullName }, builtIn }: ServedMethod, setting: K): NonNullable<MethodSettings[K]> {
  const { methods = {}, [setting]: ofGateway } = options
  const ofService = methods[`${fullName.slice(0, fullName.lastIndexOf('.'))}.*`]?.[setting]
  return { ...(builtIn ? {} : ofGateway), ...ofService, ...methods[fullName]?.[setting] } as NonNullable<MethodSettings[K]>
}
