/** What the global setup provides to every test file. */
import 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** `postgres://user:password@host:port`, a superuser's, without a database. */
    postgresUrl: string
  }
}
