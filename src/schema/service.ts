/** The model that everything else reads: what a service and its methods are, wherever they came from. */
import type protobuf from 'protobufjs'

export type MethodKind = 'unary' | 'serverStreaming' | 'clientStreaming' | 'bidiStreaming'

/** `idempotency_level` of `google.protobuf.MethodOptions`. */
export type Idempotency = 'unknown' | 'noSideEffects' | 'idempotent'

/**
 * Options by their names: `deprecated`, and extensions by their full names in parentheses, such as
 * `(google.api.http)`. Message values keep their proto field names; what is repeated is a list, even of one value.
 */
export type Options = Readonly<Record<string, unknown>>

export interface Method {
  /** As in the .proto file: `SayHello`. */
  readonly name: string
  /** `helloworld.Greeter.SayHello` */
  readonly fullName: string
  /** The request path of gRPC: `/helloworld.Greeter/SayHello`. */
  readonly path: string
  readonly kind: MethodKind
  readonly requestType: protobuf.Type
  readonly responseType: protobuf.Type
  readonly comment: string | undefined
  readonly options: Options
  readonly deprecated: boolean
  readonly idempotency: Idempotency
}

export interface Service {
  /** As in the .proto file: `Greeter`. */
  readonly name: string
  /** `helloworld.Greeter` */
  readonly fullName: string
  /** The file that defines it, where known. */
  readonly file: string | undefined
  readonly comment: string | undefined
  readonly options: Options
  readonly deprecated: boolean
  readonly methods: readonly Method[]
}

/**
 * The model of a protobufjs service, whose root must be resolved.
 *
 * @param methodOptions options of a method, by its name, that the reflection does not hold
 */
export function serviceFrom (reflection: protobuf.Service, methodOptions: (name: string) => Options = () => ({})): Service {
  const fullName = reflection.fullName.slice(1)
  const options = mergeOptions(reflection.parsedOptions)
  return {
    name: reflection.name,
    fullName,
    file: reflection.filename ?? undefined,
    comment: reflection.comment ?? undefined,
    options,
    deprecated: options.deprecated === true,
    methods: reflection.methodsArray.map(method => methodFrom(method, fullName, methodOptions(method.name)))
  }
}

function methodFrom (reflection: protobuf.Method, serviceName: string, moreOptions: Options): Method {
  const options = { ...mergeOptions(reflection.parsedOptions), ...moreOptions }
  return {
    name: reflection.name,
    fullName: `${serviceName}.${reflection.name}`,
    path: `/${serviceName}/${reflection.name}`,
    kind: methodKind(reflection.requestStream === true, reflection.responseStream === true),
    requestType: reflection.resolvedRequestType!,
    responseType: reflection.resolvedResponseType!,
    comment: reflection.comment ?? undefined,
    options,
    deprecated: options.deprecated === true,
    idempotency: idempotency(options.idempotency_level)
  }
}

export function methodKind (requestStream: boolean, responseStream: boolean): MethodKind {
  if (requestStream) return responseStream ? 'bidiStreaming' : 'clientStreaming'
  return responseStream ? 'serverStreaming' : 'unary'
}

function idempotency (level: unknown): Idempotency {
  switch (level) {
    case 'NO_SIDE_EFFECTS': return 'noSideEffects'
    case 'IDEMPOTENT': return 'idempotent'
    default: return 'unknown'
  }
}

/** protobufjs keeps a list with an entry for each `option` statement; statements of one option are merged there. */
export function mergeOptions (parsed: readonly Record<string, unknown>[] | null | undefined): Options {
  return Object.assign({}, ...(parsed ?? []))
}
