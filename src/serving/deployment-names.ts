/** The names of deployments within an application. */
import { BoundDeployment } from './deployment.ts'

/**
 * All deployments of an application, those that others need first. Two of one name are told apart by a number.
 */
export function deploymentNames (application: BoundDeployment): Map<BoundDeployment, string> {
  const names = new Map<BoundDeployment, string>()
  const seen = new Set<BoundDeployment>()
  const taken = new Set<string>()
  const visit = (bound: BoundDeployment): void => {
    if (seen.has(bound)) return
    seen.add(bound)
    for (const argument of bound.args) if (argument instanceof BoundDeployment) visit(argument)
    const name = unusedName(bound.deployment.name, taken)
    taken.add(name)
    names.set(bound, name)
  }
  visit(application)
  return names
}

function unusedName (name: string, taken: ReadonlySet<string>): string {
  let unused = name
  for (let i = 1; taken.has(unused); i++) unused = `${name}_${i}`
  return unused
}
