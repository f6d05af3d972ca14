/** Whether an answer is one of those that the operation's document promises. */
import { Errors } from 'typebox/schema'
import type { Operation } from './documents.ts'
import type { Fault } from './requests.ts'

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

/** What no answer may tell a stranger: stacks, SQL, hosts, files. */
const LEAKS =
  /\n\s+at |node_modules|\.[cm]?[jt]s:\d|\b(SELECT|INSERT|UPDATE|DELETE) |\boms\.(?!example)|\bpg_|postgres|127\.0\.0\.1|localhost|ECONN|file:\/\/|\/(tmp|home|root|usr|work|var)\//

/** In words; `undefined` where nothing is wrong. */
export function complaintOf({ responses }: Operation, answer: Answer): string | undefined {
  const { status, contentType, text } = answer
  if (status >= 500) return `status ${status}: ${text}`
  const documented = responses[status]
  if (documented === undefined) return `status ${status} is not documented: ${text}`
  const [media = ''] = contentType.split(';')
  const schema = documented.content?.[media]?.schema
  if (schema === undefined) return `media type "${media}" of status ${status} is not documented`
  const [conforms, errors] = Errors(schema as never, parse(text))
  if (!conforms) {
    const told = errors.map(({ instancePath, message }) => `${instancePath} ${message}`).join('; ')
    return `status ${status} does not conform: ${told}: ${text}`
  }
  const leak = media === 'application/problem+json' ? LEAKS.exec(text)?.[0] : undefined
  return leak === undefined ? undefined : `the problem tells "${leak}": ${text}`
}

/** Why this is not how the fault is refused, in words; `undefined` where it is. */
export function unlikeRefusal(
  { name, status, pointer }: Omit<Fault, 'requests'>,
  answer: Answer,
): string | undefined {
  if (answer.status !== status)
    return `${name} is answered ${answer.status} instead of ${status}: ${answer.text}`
  const { type, errors = [] } = parse(answer.text) as {
    readonly type?: string
    readonly errors?: readonly { readonly pointer: string }[]
  }
  // The card processor names no type and points nowhere; a card number is refused wherever it stands.
  const pointsNowhere = type === undefined || type.endsWith('/pan-rejected')
  if (pointer === undefined || pointsNowhere) return undefined
  const points = errors.some((error) => error.pointer.startsWith(pointer))
  return points ? undefined : `${name} is refused for something else: ${answer.text}`
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
