/** Options of deployments that a configuration gives in place of those in the code. */
import { BoundDeployment, Deployment, type DeploymentOptions } from '../deployment.ts'
import { deploymentNames } from '../deployment-names.ts'

/**
 * The same application with other options of its deployments.
 *
 * @param options by the names of the deployments, all of which must exist
 * @throws TypeError when an option is wrong
 */
export function withOptions (application: BoundDeployment, options: ReadonlyMap<string, DeploymentOptions>): BoundDeployment {
  const changed = new Map<BoundDeployment, BoundDeployment>()
  for (const [bound, name] of deploymentNames(application)) {
    const { target, options: own } = bound.deployment
    const args = bound.args.map(argument => argument instanceof BoundDeployment ? changed.get(argument) : argument)
    changed.set(bound, new BoundDeployment(new Deployment(target, { ...own, ...options.get(name) }), args))
  }
  return changed.get(application)!
}
