package cli

import "github.com/spf13/cobra"

// examples belong to commands whose one line says it all; longer ones stand at
// their command. Ids are written as in a real list, shortened.
var examples = map[string]string{
	"tresor airlock comment":  `  tresor airlock comment 01a20d1a… "Which year?" --as carl`,
	"tresor airlock return":   `  tresor airlock return 01a20d1a… --as carl --comment "say which visits are counted"`,
	"tresor airlock show":     `  tresor airlock show 01a20d1a… --as stefan`,
	"tresor airlock submit":   `  tresor airlock submit 01a20d1a… --as rosa`,
	"tresor airlock view":     `  tresor airlock view 01a20d1a… visits.csv --as carl`,
	"tresor airlock vote":     `  tresor airlock vote 01a20d1a… approve --as carl --comment "every group is large"`,
	"tresor airlock withdraw": `  tresor airlock withdraw 01a20d1a… --as rosa`,
	"tresor audit proof":      `  tresor audit proof 40 --json > proof.json`,
	"tresor dataset versions": `  tresor dataset versions randhie`,
	"tresor job preview":      `  tresor job preview 01a20d17… visits.csv --as rosa`,
	"tresor job show":         `  tresor job show 01a20d17…`,
	"tresor job usage":        `  tresor job usage 01a20d17… --json`,
	"tresor job wait":         `  tresor job wait 01a20d17… && echo held`,
	"tresor person change":    `  tresor person change ada --email ada@example.org`,
	"tresor person disable":   `  tresor person disable ada`,
	"tresor person link":      `  tresor person link ada`,
	"tresor person roles":     `  tresor person roles ada checker auditor`,
	"tresor person sessions":  `  tresor person sessions ada --end`,
	"tresor person show":      `  tresor person show ada`,
	"tresor project close":    `  tresor project close aurora --reason "the agreement has ended"`,
	"tresor project reopen":   `  tresor project reopen aurora --reason "the agreement was prolonged"`,
	"tresor project show":     `  tresor project show aurora`,
	"tresor release make":     `  tresor release make 01a20d1a… --as rosa`,
	"tresor release show":     `  tresor release show 01a20d1b… --as rosa`,
}

func addExamples(c *cobra.Command) {
	if x, ok := examples[c.CommandPath()]; ok {
		c.Example = x
	}
	for _, sub := range c.Commands() {
		addExamples(sub)
	}
}
