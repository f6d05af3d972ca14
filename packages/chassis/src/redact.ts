/** Keeps card numbers (PANs) out of answers and logs. */

/**
 * 13 to 19 digits, first 2–6 (ISO/IEC 7812), bounded by something that is no digit.
 * Groups parted by one space or hyphen count: that is how people type them.
 */
const CANDIDATE = /(?<![0-9])[2-6](?:[ -]?[0-9]){12,18}(?![0-9])/

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const UUID_OR_CANDIDATE = new RegExp(
  `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|${CANDIDATE.source}`,
  'gi',
)

/** The check digit of ISO/IEC 7812-1, Annex B. */
function passesLuhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(digits.length - 1 - i) - 48
    const doubled = i % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}

const GROUP = /(?<![0-9])[2-6][0-9]{12,18}(?![0-9])/g

/** Random UUIDs pass Luhn now and then, so they are stepped over. */
function scan(text: string, replace: (match: string) => string): string {
  const inGroup = (group: string): string => (passesLuhn(group) ? replace(group) : group)
  return text.replace(UUID_OR_CANDIDATE, (match) => {
    if (UUID.test(match)) return match
    if (passesLuhn(match.replace(/[ -]/g, ''))) return replace(match)
    // A digit in front, parted by a space, must not hide a whole number behind it.
    return match.replace(GROUP, inGroup)
  })
}

export function containsPan(text: string): boolean {
  // Nearly every text ends here.
  if (!CANDIDATE.test(text)) return false
  let found = false
  scan(text, (match) => {
    found = true
    return match
  })
  return found
}

/** The text with every card number replaced by `[PAN]`. */
export function maskPans(text: string): string {
  // Nearly every text ends here.
  if (!CANDIDATE.test(text)) return text
  return scan(text, () => '[PAN]')
}
