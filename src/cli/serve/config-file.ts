/** Which arguments are configuration files, and no modules. */

export function isConfigFile (target: string): boolean {
  return /\.(?:ya?ml|json)$/.test(target)
}
