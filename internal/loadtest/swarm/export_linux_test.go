package swarm

// KernelReason names an error of a system call.
var KernelReason = kernelReason
