import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Body, createParamDecorator, Query } from '@nestjs/common';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { parameterKinds } from '../../apps/server/handler-parameters.ts';

it('tells the kinds of parameters', () => {
  class Lamps {
    light(@Body() _body: unknown, @Query() _query: unknown) {}
    look() {}
  }
  expect([...parameterKinds(Lamps, 'light')].sort()).toEqual([RouteParamtypes.BODY, RouteParamtypes.QUERY]);
  expect([...parameterKinds(Lamps, 'look')]).toEqual([]);
});

it('takes no parameter of a decorator of our own for one of them, whatever its random key begins with', () => {
  for (let n = 0; n < 500; n++) {
    const Own = createParamDecorator(() => null);
    class Lamps {
      light(@Own() _own: unknown) {}
    }
    expect([...parameterKinds(Lamps, 'light')]).toEqual([]);
  }
});
