/** @type {import('jest').Config} */
export default {
  rootDir: 'dist',
  testMatch: ['**/*.test.js'],
  transform: {},
  coverageProvider: 'v8',
  // most tests wait for a database or for a process
  maxWorkers: 2,
  testTimeout: 60_000,
  globalSetup: '<rootDir>/test/support/global-setup.js',
  globalTeardown: '<rootDir>/test/support/global-teardown.js',
};
