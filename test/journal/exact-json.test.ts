import { expect, it } from '@jest/globals';
import { parseExact } from '#libs/journal';

it('numbers that JavaScript holds exactly stay numbers', () => {
  expect(parseExact('{"a": 1, "b": -2.5, "c": 9007199254740991, "d": 0.1, "e": 1.500, "f": 0.00012300}')).toEqual({
    ...{ a: 1, b: -2.5, c: 9007199254740991, d: 0.1, e: 1.5, f: 0.000123 },
  });
});

it('numbers that it does not hold come back as their digits', () => {
  expect(parseExact('[9007199254740993, 12345678901234567890.5, -0.1234567890123456789]')).toEqual([
    ...['9007199254740993', '12345678901234567890.5', '-0.1234567890123456789'],
  ]);
});

it('text that looks like a long number is left alone', () => {
  expect(parseExact('{"card": "1234567890123456789", "n": 7}')).toEqual({
    card: '1234567890123456789',
    n: 7,
  });
});
