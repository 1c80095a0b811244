/** The package jose, which is needed only by who has tokens to verify or to sign. */
import { configurationErrors } from '../../errors.ts'

/**
 * @param owner who needs the package
 * @throws FGG_ERR_AUTH when it is not installed
 */
export async function loadJose (owner: string): Promise<typeof import('jose')> {
  try {
    return await import('jose')
  } catch (cause) {
    throw Object.assign(new configurationErrors.FGG_ERR_AUTH(owner, 'needs the package jose: npm install jose'), { cause })
  }
}
