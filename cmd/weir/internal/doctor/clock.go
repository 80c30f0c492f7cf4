package doctor

import "strings"

// clock looks whether somebody sets the time of day.
func clock(m Machine, _ Needs) Finding {
	f := Finding{
		Name:   "clock",
		Wanted: "synchronised",
		Why:    "Ages in logs, expiry of tokens and retention go by the time of day, and nodes are compared by it. Delivery itself goes by a clock that never jumps.",
		Fix:    "sudo timedatectl set-ntp true",
	}
	synchronised, err := m.Clock()
	switch {
	case err != nil:
		return f.unknown(err)
	case !synchronised:
		return f.at(Warn, "the kernel says that nobody sets it")
	}
	return f.at(OK, "synchronised")
}

// clockSource looks what the kernel counts time with.
func clockSource(m Machine, _ Needs) Finding {
	const dir = "sys/devices/system/clocksource/clocksource0/"
	f := Finding{
		Name:   "clock source",
		Wanted: "tsc, or the hypervisor's that is read without a system call",
		Why:    "The time is asked for each message. From hpet, acpi_pm or xen that is a system call of about a microsecond, some tenths of what sending the message costs.",
	}
	current, err := m.text(dir + "current_clocksource")
	if err != nil {
		return f.unknown(err)
	}
	switch current {
	case "tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter":
		return f.at(OK, "%s", current)
	case "hpet", "acpi_pm", "xen", "jiffies", "refined-jiffies", "hyperv_clocksource_msr":
		f.Fix = "boot with tsc=reliable, if the machine's tsc can be trusted: dmesg | grep -i tsc"
		if available, err := m.text(dir + "available_clocksource"); err == nil && contains(available, "tsc") {
			f.Fix = "echo tsc | sudo tee /" + dir + "current_clocksource"
		}
		return f.at(Warn, "%s", current)
	}
	return f.at(Unknown, "%s: not known how it is read", current)
}

// contains reports whether a list, its words separated by blanks, has a word.
func contains(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}
