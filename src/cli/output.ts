/** What the command writes: results to stdout, all else to stderr; colours and progress for terminals only. */
import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

export function printLine (text: string): void {
  process.stdout.write(`${text}\n`)
}

/** One line, whatever the message is. */
export function printError (message: string): void {
  process.stderr.write(`${coloured('red', 'error:')} ${oneLine(message)}\n`)
}

export function printWarning (message: string): void {
  process.stderr.write(`${coloured('yellow', 'warning:')} ${oneLine(message)}\n`)
}

/** What is going on, for people who wait. */
export function printProgress (message: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${coloured('dim', message)}\n`)
}

function oneLine (text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim()
}

function coloured (style: Style, text: string): string {
  return process.stderr.isTTY && (process.env.NO_COLOR ?? '') === '' ? styleText(style, text) : text
}
