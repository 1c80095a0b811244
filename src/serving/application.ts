/** An application: deployments composed, behind a name and a prefix. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../call/logger.ts'
import { BoundDeployment } from './deployment.ts'
import { deploymentNames } from './deployment-names.ts'
import { handleOf } from './handle.ts'
import { Ongoing } from './ongoing.ts'
import { LocalReplica } from './replica.ts'
import { RunningDeployment } from './running-deployment.ts'
import { ThreadReplicas } from './threads/thread-replicas.ts'

export interface ApplicationOptions {
  readonly name: string
  /** Of its paths over HTTP; null where it has none. */
  readonly routePrefix: string | null
}

export class Application {
  readonly name: string
  readonly routePrefix: string | null
  readonly deployments: readonly RunningDeployment[]
  /** The deployment that is called from outside. */
  readonly ingress: RunningDeployment
  readonly #log: () => Logger

  private constructor ({ name, routePrefix }: ApplicationOptions, deployments: readonly RunningDeployment[], log: () => Logger) {
    this.name = name
    this.routePrefix = routePrefix
    this.deployments = deployments
    this.ingress = deployments.at(-1)!
    this.#log = log
  }

  /** Makes the instances of all its deployments, those that others need first. When one cannot be made, none is left. */
  static async deploy (bound: BoundDeployment, options: ApplicationOptions, log: () => Logger): Promise<Application> {
    const running = new Map<BoundDeployment, RunningDeployment>()
    const names = deploymentNames(bound)
    const make = async (node: BoundDeployment): Promise<RunningDeployment> => {
      const known = running.get(node)
      if (known !== undefined) return known
      const { target, options: { module, replicas, maxOngoingRequests, maxQueuedRequests = -1 } } = node.deployment
      const args: unknown[] = []
      for (const argument of node.args) args.push(argument instanceof BoundDeployment ? handleOf(await make(argument), argument.deployment.target, log) : argument)
      const replica = replicas === undefined
        ? new LocalReplica(target, args)
        : await ThreadReplicas.start({ name: node.deployment.name, exportName: target.name, module: module!, count: replicas, atOnce: maxOngoingRequests ?? 1, args: node.args, log })
      const most = (maxOngoingRequests ?? (replicas === undefined ? Infinity : 1)) * replica.count
      const made = new RunningDeployment(names.get(node)!, replica, new Ongoing(most, maxQueuedRequests))
      running.set(node, made)
      return made
    }
    try {
      await make(bound)
    } catch (error) {
      for (const { replica } of running.values()) await replica.dispose().catch(() => {})
      throw error
    }
    return new Application(options, [...running.values()], log)
  }

  /** Waits for what is being worked on, at most for `graceMs`, and disposes of the instances, those that need others first. */
  async close (graceMs: number): Promise<void> {
    const over = new AbortController()
    await Promise.race([this.ingress.ongoing.idle(), sleep(graceMs, undefined, { signal: over.signal }).catch(() => {})])
    over.abort()
    for (const { name, replica } of this.deployments.toReversed()) {
      try {
        await replica.dispose()
      } catch (error) {
        this.#log().error({ err: error, application: this.name, deployment: name }, 'A deployment could not be disposed of')
      }
    }
  }
}
