/** Finds message types by name, for what is packed in a `google.protobuf.Any`. */
import protobuf from 'protobufjs'
import { bundledProto } from '../schema/proto-files.ts'

/** In the files of the services that are served, in those of the option `types`, in google.rpc and google.protobuf. */
export class TypeRegistry {
  readonly #roots: Set<protobuf.Root>
  readonly #found = new Map<string, protobuf.Type>()

  constructor (roots: Iterable<protobuf.Root> = []) {
    this.#roots = new Set([...roots, googleTypes()])
  }

  /** @param name a full name without a dot before it */
  find (name: string): protobuf.Type | undefined {
    const known = this.#found.get(name)
    if (known !== undefined) return known
    for (const root of this.#roots) {
      const found = objectIn(root, name.split('.'))
      if (!(found instanceof protobuf.Type)) continue
      this.#found.set(name, found)
      return found
    }
    return undefined
  }
}

/** As `lookup` of protobufjs does it, which would remember every name that a client thinks of. */
function objectIn (root: protobuf.Root, names: readonly string[]): protobuf.ReflectionObject | undefined {
  return names.reduce<protobuf.ReflectionObject | undefined>((scope, name) => {
    const nested = scope instanceof protobuf.Namespace ? scope.nested : undefined
    return nested !== undefined && Object.hasOwn(nested, name) ? nested[name] : undefined
  }, root)
}

/** The name of the type that a URL such as `type.googleapis.com/google.rpc.Status` ends with. */
export function typeNameOf (url: string): string {
  return url.slice(url.lastIndexOf('/') + 1)
}

const GOOGLE_FILES = [
  'google/rpc/status.proto', 'google/rpc/error_details.proto', 'google/protobuf/any.proto', 'google/protobuf/duration.proto',
  'google/protobuf/empty.proto', 'google/protobuf/field_mask.proto', 'google/protobuf/struct.proto',
  'google/protobuf/timestamp.proto', 'google/protobuf/wrappers.proto'
]

let google: protobuf.Root | undefined

function googleTypes (): protobuf.Root {
  if (google === undefined) {
    google = new protobuf.Root()
    google.resolvePath = (_importer, file) => protobuf.common.get(file) === null ? bundledProto(file) : file
    google.loadSync(GOOGLE_FILES)
    google.resolveAll()
  }
  return google
}
