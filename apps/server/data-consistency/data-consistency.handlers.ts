import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Kernel } from '#libs/kernel';
import {
  type EntityKey,
  type EntityScope,
  findInconsistent,
  getRules,
  type HealthCounters,
  isInconsistent,
  type KeptRules,
  listPropagations,
  type ProjectRule,
  type Propagation,
  type PropagationListOptions,
  planRepair,
  propagateTask,
  type Repaired,
  readHealth,
  repairEntities,
  setRules,
  type Validated,
  type Validating,
  validateEntities,
} from '#libs/resources';
import { inTransaction, type Mutation } from '../mutation.ts';
import { KERNEL, VALIDATING } from '../tokens.ts';

export class ValidateEntities extends Query<Validated[]> {
  constructor(readonly entities: readonly EntityKey[]) {
    super();
  }
}

@QueryHandler(ValidateEntities)
export class ValidateEntitiesHandler implements IQueryHandler<ValidateEntities> {
  constructor(@Inject(VALIDATING) private readonly validating: Validating) {}

  execute({ entities }: ValidateEntities) {
    return validateEntities(this.validating, entities);
  }
}

export class ReadConsistencyHealth extends Query<HealthCounters> {
  constructor(readonly scope: EntityScope) {
    super();
  }
}

@QueryHandler(ReadConsistencyHealth)
export class ReadConsistencyHealthHandler implements IQueryHandler<ReadConsistencyHealth> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ scope }: ReadConsistencyHealth) {
    return readHealth(this.kernel.database, scope);
  }
}

export class ListPropagations extends Query<(Propagation & { id: string })[]> {
  constructor(readonly options: PropagationListOptions) {
    super();
  }
}

@QueryHandler(ListPropagations)
export class ListPropagationsHandler implements IQueryHandler<ListPropagations> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ options }: ListPropagations) {
    return listPropagations(this.kernel.database, options);
  }
}

export class PropagateTask extends Command<Propagation> {
  constructor(
    readonly mutation: Mutation,
    readonly taskId: string,
  ) {
    super();
  }
}

@CommandHandler(PropagateTask)
export class PropagateTaskHandler implements ICommandHandler<PropagateTask> {
  constructor(@Inject(VALIDATING) private readonly validating: Validating) {}

  execute({ mutation, taskId }: PropagateTask) {
    return propagateTask(this.validating, taskId, mutation.writer.database);
  }
}

export class RepairConsistency extends Command<Repaired> {
  constructor(
    readonly mutation: Mutation,
    readonly scope: EntityScope,
    /** What was found of some entities; all of the scope are looked at unless given. */
    readonly found: readonly Validated[] | undefined,
    readonly dryRun: boolean,
  ) {
    super();
  }
}

@CommandHandler(RepairConsistency)
export class RepairConsistencyHandler implements ICommandHandler<RepairConsistency> {
  constructor(
    @Inject(KERNEL) private readonly kernel: Kernel,
    @Inject(VALIDATING) private readonly validating: Validating,
  ) {}

  async execute({ mutation, scope, found: given, dryRun }: RepairConsistency): Promise<Repaired> {
    const found = given?.filter(isInconsistent) ?? (await findInconsistent(this.validating, scope));
    if (dryRun) return { tid: null, ...planRepair(found) };
    return inTransaction(this.kernel, mutation, (tx) => repairEntities(tx, mutation.actor, found));
  }
}

export class GetRules extends Query<KeptRules> {
  constructor(readonly projectId: string) {
    super();
  }
}

@QueryHandler(GetRules)
export class GetRulesHandler implements IQueryHandler<GetRules> {
  constructor(@Inject(KERNEL) private readonly kernel: Kernel) {}

  execute({ projectId }: GetRules) {
    return getRules(this.kernel.database, projectId);
  }
}

export class SetRules extends Command<{ tid: number | null; kept: KeptRules }> {
  constructor(
    readonly mutation: Mutation,
    readonly projectId: string,
    readonly rules: readonly ProjectRule[],
  ) {
    super();
  }
}

@CommandHandler(SetRules)
export class SetRulesHandler implements ICommandHandler<SetRules> {
  execute({ mutation: { writer, actor, condition }, projectId, rules }: SetRules) {
    return setRules(writer, actor, projectId, rules, condition);
  }
}

export const dataConsistencyHandlers = [
  ...[ValidateEntitiesHandler, ReadConsistencyHealthHandler, ListPropagationsHandler],
  ...[PropagateTaskHandler, RepairConsistencyHandler, GetRulesHandler, SetRulesHandler],
];
