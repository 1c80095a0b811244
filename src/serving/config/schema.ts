/** The keys of a configuration file, in camelCase; those of Ray Serve are the same in snake_case. */

/** Stands in the schema of keys that Ray has and that mean nothing in one process. */
export const NO_EFFECT = 'has no effect here'

/** The part of JSON Schema that is used. */
export interface Schema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
}

const none: Schema = { description: NO_EFFECT }
const text: Schema = { type: 'string' }
const textOrNull: Schema = { type: ['string', 'null'] }
const port: Schema = { type: 'integer', minimum: 0, maximum: 65535 }
const seconds: Schema = { type: ['number', 'null'] }

const tls: Readonly<Record<string, Schema>> = { sslKeyfile: textOrNull, sslCertfile: textOrNull, sslCaCerts: textOrNull }

const deployment: Schema = {
  type: 'object',
  required: ['name'],
  properties: {
    name: text,
    numReplicas: { type: ['integer', 'null'], minimum: 1 },
    maxOngoingRequests: { type: 'integer', minimum: 1 },
    maxQueuedRequests: { type: 'integer', minimum: -1 },
    userConfig: none,
    autoscalingConfig: none,
    gracefulShutdownWaitLoopS: none,
    gracefulShutdownTimeoutS: none,
    healthCheckPeriodS: none,
    healthCheckTimeoutS: none,
    rayActorOptions: none,
    placementGroupBundles: none,
    placementGroupStrategy: none,
    maxReplicasPerNode: none,
    loggingConfig: none,
    requestRouterConfig: none
  }
}

const application: Schema = {
  type: 'object',
  required: ['importPath'],
  properties: {
    name: text,
    routePrefix: textOrNull,
    importPath: text,
    args: { type: ['object', 'null'] },
    deployments: { type: ['array', 'null'], items: deployment },
    runtimeEnv: none,
    host: none,
    port: none,
    autoscalingPolicy: none,
    externalScalerEnabled: none,
    loggingConfig: none
  }
}

export const CONFIG_SCHEMA: Schema = {
  type: 'object',
  required: ['applications'],
  properties: {
    proxyLocation: { type: 'string', enum: ['EveryNode', 'HeadOnly'] },
    httpOptions: {
      type: ['object', 'null'],
      properties: {
        host: text,
        port,
        rootPath: text,
        requestTimeoutS: seconds,
        keepAliveTimeoutS: { type: 'number', minimum: 0 },
        ...tls,
        location: none,
        numCpus: none,
        sslKeyfilePassword: none
      }
    },
    grpcOptions: {
      type: ['object', 'null'],
      properties: {
        port,
        grpcServicerFunctions: { type: 'array', items: text },
        requestTimeoutS: seconds,
        reflection: { type: 'boolean' },
        ...tls
      }
    },
    loggingConfig: {
      type: ['object', 'null'],
      properties: {
        logLevel: { type: ['string', 'integer'], enum: ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL', 10, 20, 30, 40, 50] },
        enableAccessLog: { type: 'boolean' },
        encoding: none,
        logsDir: none,
        additionalLogStandardAttrs: none
      }
    },
    applications: { type: 'array', items: application }
  }
}
