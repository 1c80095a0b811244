/** What can be wrong with a value: each check returns a sentence that goes on from the option's name, or undefined. */

export function checkSource (value: unknown): string | undefined {
  return typeof value === 'string' || value instanceof URL || value instanceof Uint8Array || Array.isArray(value) ? undefined : 'must be a path, the bytes of a descriptor set, or a list of these'
}

export function isString (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? undefined : 'must be a string'
}

export function isBoolean (value: unknown): string | undefined {
  return typeof value === 'boolean' ? undefined : 'must be true or false'
}

export function isObject (value: unknown): string | undefined {
  return typeof value === 'object' && value !== null ? undefined : 'must be an object'
}

export function isWhole (value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max
}

/** Checks the members of an object: each must be one of some values, or have a type. */
export function oneOf (value: Record<string, unknown>, members: Record<string, readonly unknown[] | 'function' | 'number' | 'object' | 'string'>): string | undefined {
  if (typeof value !== 'object' || value === null) return 'must be an object'
  const unknown = unknownMember(value, Object.keys(members))
  if (unknown !== undefined) return unknown
  for (const [name, member] of Object.entries(value)) {
    const allowed = members[name]
    if (member === undefined) continue
    const type: string = typeof member
    if (Array.isArray(allowed) ? !allowed.includes(member) : type !== allowed || Number.isNaN(member)) {
      return `is wrong: \`${name}\` must be ${Array.isArray(allowed) ? `one of ${allowed.join(', ')}` : `a ${allowed as string}`}`
    }
  }
  return undefined
}

export function unknownMember (value: object, names: readonly string[]): string | undefined {
  const unknown = Object.keys(value).find(name => !names.includes(name))
  return unknown === undefined ? undefined : `has no member \`${unknown}\`. It has: ${names.join(', ')}`
}
