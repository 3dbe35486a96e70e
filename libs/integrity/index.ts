export type { Accept, Check, CheckDefinition, Found, Look, Looked, Plan, SettledPlan } from './check.ts';
export { FINDING_STATES, type FindingRow, type FindingState, finding } from './finding.ts';
export { countFindings, type FindingFilter, type FindingView, listFindings } from './findings.queries.ts';
export { getFinding, type Recorded } from './findings.ts';
export { type CheckChoice, Integrity, type IntegrityOptions, type RepairChoice } from './integrity.ts';
export type { Repair, Repaired, RepairOptions } from './repair.ts';
export { type Judgement, type RuleDefinition, Rules, type Violation } from './rules.ts';
export type { CheckStatus } from './schedule.ts';
export type { Verified, VerifyOptions } from './verify.ts';
