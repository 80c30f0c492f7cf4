// Package doctor looks at a machine and says what will break, or works but not well, when Weir serves as its
// configuration says: `weir doctor`.
//
// A check of the machine is a pure function of a [Machine], which is what can be read under /proc and /sys, and of the
// [Needs] of a configuration. Checks that must try something (the disk of the journal, the proxy, the broker) first
// gather facts and then judge them.
//
// Every check returns a [Finding]: what was found, what is wanted, why, and the command that changes it. What a check
// cannot know is [Unknown], never [OK].
package doctor
