/** Packages that are needed only by who asks for what they do. */
import { createRequire } from 'node:module'
import { configurationErrors } from '../errors.ts'

const require = createRequire(import.meta.url)

/**
 * @param need what needs it: `OpenTelemetry needs`
 * @throws FGG_ERR_TELEMETRY when it is not installed
 */
export function optionalPackage (name: string, need: string): unknown {
  try {
    return require(name)
  } catch (cause) {
    throw Object.assign(new configurationErrors.FGG_ERR_TELEMETRY(`${need} the package ${name}: npm install ${name}`), { cause })
  }
}
