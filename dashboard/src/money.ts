// Amounts are decimal texts with at most nine places. They are added as whole numbers, so that nothing is rounded.

const PLACES = 9;

function units(amount: string): bigint {
  const [whole = "0", part = ""] = amount.replace("-", "").split(".");
  const found = BigInt(whole + part.padEnd(PLACES, "0"));
  return amount.startsWith("-") ? -found : found;
}

/// What is written is an amount above nothing.
export function isAmount(text: string): boolean {
  return /^\d{1,9}(\.\d{1,9})?$/.test(text) && units(text) > 0n;
}

export function add(one: string, other: string): string {
  const sum = units(one) + units(other);
  const digits = (sum < 0n ? -sum : sum).toString().padStart(PLACES + 1, "0");
  const part = digits.slice(-PLACES).replace(/0+$/, "").padEnd(2, "0");
  return `${sum < 0n ? "-" : ""}${digits.slice(0, -PLACES)}.${part}`;
}

/// For lengths of bars only.
export const approximately = (amount: string): number => Number(amount);

export const isZero = (amount: string): boolean => units(amount) === 0n;
