/** Every variable of the provisioning: type, meaning. */
import { type Static, Type } from 'typebox'

export const configSchema = Type.Object({
  DATABASE_URL: Type.String({
    pattern: '^postgres(ql)?://',
    description: 'postgres://superuser@host:port, without the password.',
  }),
  DATABASE_PASSWORD_FILE: Type.Optional(
    Type.String({ minLength: 1, description: 'File that holds the password of DATABASE_URL.' }),
  ),
  SERVICE_PASSWORDS_DIR: Type.String({
    minLength: 1,
    description: 'Folder with the passwords of the services: files order, payment, inventory.',
  }),
  OWNER_PASSWORDS_DIR: Type.String({
    minLength: 1,
    description: 'Folder with the passwords of the databases’ owners, who migrate: the same files.',
  }),
})

export type Config = Static<typeof configSchema>
