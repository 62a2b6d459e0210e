package access

import "tresor/app/fault"

// ValidateRoles refuses combinations of roles that would let one person stand on
// both sides of a control. site holds the site roles, projects the memberships
// (project id -> role) that the person would have after the change.
func ValidateRoles(site []Role, projects map[string]Role) error {
	if err := knownRoles(site); err != nil {
		return err
	}
	for _, role := range projects {
		if role != Researcher && role != Lead {
			return invalid("%q is not a project role. Project roles are researcher and lead.", string(role))
		}
	}
	if !has(site, Operator) {
		return nil
	}
	if has(site, Checker) {
		return conflict("An operator cannot be an output checker: whoever runs the server does not decide what leaves it. Give one of the two roles to somebody else.")
	}
	if len(projects) > 0 {
		return conflict("An operator cannot be a member of a project: whoever runs the server does not see data. Use a second account, or drop the operator role first.")
	}
	return nil
}

func knownRoles(site []Role) error {
	seen := map[Role]bool{}
	for _, role := range site {
		if !has(SiteRoles, role) {
			return invalid("%q is not a site role. Site roles are operator, steward, checker and auditor.", string(role))
		}
		if seen[role] {
			return invalid("The role %q is given twice.", string(role))
		}
		seen[role] = true
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fault.New("access.ValidateRoles", fault.Invalid, format, args...)
}

func conflict(format string, args ...any) error {
	return fault.New("access.ValidateRoles", fault.Conflict, format, args...)
}
