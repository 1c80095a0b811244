/** Reads enums. */
import { PATH, type EnumDescriptorProto, type EnumValueDescriptorProto } from './descriptor.ts'
import { parseOptionList, parseOptionStatement, type OptionStatement } from './parse-options.ts'
import { parseReserved } from './parse-reserved.ts'
import { addOptions, inScope, type Parsing } from './parsing.ts'

const HIGHEST_VALUE = 2 ** 31 - 1

/** @param scope the message, or the package, in which it is declared */
export function parseEnum (parsing: Parsing, scope: string, path: readonly number[]): EnumDescriptorProto {
  const { tokens } = parsing
  const first = tokens.current
  tokens.expect('enum')
  const descriptor: EnumDescriptorProto = { name: tokens.name('the name of an enum'), value: [], reserved_range: [], reserved_name: [] }
  const options: OptionStatement[] = []
  tokens.expect('{')
  tokens.located(path, first)
  tokens.block(() => {
    if (tokens.at('option')) options.push(parseOptionStatement(tokens))
    else if (tokens.at('reserved')) parseReserved(parsing, descriptor, HIGHEST_VALUE, 0)
    else parseValue(parsing, descriptor, scope, [...path, PATH.enum.value, descriptor.value.length])
  })
  addOptions(parsing, 'Enum', inScope(scope, descriptor.name), descriptor, options)
  return descriptor
}

function parseValue (parsing: Parsing, descriptor: EnumDescriptorProto, scope: string, path: readonly number[]): void {
  const { tokens } = parsing
  const first = tokens.current
  const name = tokens.name('the name of a value')
  tokens.expect('=')
  const value: EnumValueDescriptorProto = { name, number: tokens.integer() }
  descriptor.value.push(value)
  addOptions(parsing, 'EnumValue', inScope(scope, name), value, parseOptionList(tokens))
  tokens.expect(';')
  tokens.located(path, first)
}
