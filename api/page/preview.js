export function open() {}
export function close() {}
