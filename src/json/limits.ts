/** How large numbers may be. */

export type IntegerKind = 'int32' | 'uint32' | 'int64' | 'uint64'

export const INTEGER_RANGES: Readonly<Record<IntegerKind, { readonly min: bigint, readonly max: bigint }>> = {
  int32: { min: -(2n ** 31n), max: 2n ** 31n - 1n },
  uint32: { min: 0n, max: 2n ** 32n - 1n },
  int64: { min: -(2n ** 63n), max: 2n ** 63n - 1n },
  uint64: { min: 0n, max: 2n ** 64n - 1n }
}

/** From here on, JSON.parse rounds fractions away that are no smaller than a thousandth. */
export const FREE_OF_FRACTIONS = 2 ** 45

/** `an int32`, `a uint32` */
export function anInteger (kind: IntegerKind): string {
  return `${kind.startsWith('u') ? 'a' : 'an'} ${kind}`
}
