import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{services,packages}/*/test/**/*.test.ts',
            '{processor,audit}/test/**/*.test.ts',
          ],
          globalSetup: 'packages/chassis/src/testing-postgres.ts',
          testTimeout: 20_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
