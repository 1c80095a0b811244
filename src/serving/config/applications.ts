/** Applications by import paths: what a module exports, or what a function that it exports makes of arguments. */
import { configurationErrors } from '../../errors.ts'
import { BoundDeployment, Deployment } from '../deployment.ts'

export type BuilderArguments = Readonly<Record<string, unknown>>

/**
 * @param exported a bound deployment, or a function that makes one of the arguments
 * @param text names the export in errors
 * @throws FGG_ERR_CONFIG when it is neither; what the function throws
 */
export async function builtApplication (exported: unknown, args: BuilderArguments, text: string): Promise<BoundDeployment> {
  const { FGG_ERR_CONFIG } = configurationErrors
  if (exported instanceof BoundDeployment) {
    if (Object.keys(args).length > 0) throw new FGG_ERR_CONFIG(`Arguments can only be passed to an application builder function, not an already built application: ${text}`)
    return exported
  }
  const made: unknown = typeof exported === 'function' && !isClass(exported) ? await (exported as (args: BuilderArguments) => unknown)(args) : exported
  if (made instanceof BoundDeployment) return made
  throw new FGG_ERR_CONFIG(`${text} is no application: ${problemOf(made)}`)
}

function isClass (value: object): boolean {
  return /^class\b/.test(Function.prototype.toString.call(value))
}

function problemOf (value: unknown): string {
  if (value instanceof Deployment) return 'bind it first, by .bind(…)'
  if (typeof value === 'function') return 'it is a class. Make it one by deployment(…).bind(…)'
  const { name } = (value as object | null | undefined)?.constructor ?? {}
  if (name === BoundDeployment.name || name === Deployment.name) return 'it was made by another copy of fastify-grpc-gateway than the one that runs. Use the command of the copy that the module imports, by npx'
  return 'it must be what deployment(…).bind(…) returns, or a function that returns that'
}
