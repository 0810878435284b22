package objects

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// job tells of a job that was given up, unless a later one of its CronJob did the work.
func (t *telling) job(j object) {
	failed := j.condition("Failed")
	if j.leaving() {
		t.overdue(entity.Job, j)
		return
	}
	if failed.str("status") != "True" {
		if !ended(j) && !j.yes("spec", "suspend") && j.num(0, "status", "active") == 0 {
			t.refusedPods(j, entity.Named(entity.Job, j.namespace(), j.name()))
		}
		return
	}
	e := entity.Named(entity.Job, j.namespace(), j.name())
	if up := j.controller(); up.str("kind") == "CronJob" {
		e = entity.Named(entity.CronJob, j.namespace(), up.str("name"))
		for _, other := range t.kinds["jobs"] {
			if other.namespace() == j.namespace() && other.controller().str("name") == up.str("name") && other.created().After(j.created()) && ended(other) {
				return // it is the latest that counts; of one that runs nobody knows yet
			}
		}
	}
	facts := map[string]string{"reason": failed.str("reason"), "message": brief(failed.str("message")), "job": j.name(), "indexes": j.str("status", "failedIndexes"),
		"failed": strconv.Itoa(int(j.num(0, "status", "failed")))}
	for _, pod := range t.pods(j.namespace()) {
		if pod.controller().str("name") != j.name() {
			continue
		}
		pod.each(func(s object) {
			if ended := s.child("state", "terminated"); ended.ok && ended.num(0, "exitCode") != 0 {
				facts["exit"] = fmt.Sprintf("%s: exit code %d, %s", s.str("name"), int(ended.num(0, "exitCode")), ending(int(ended.num(0, "exitCode")),
					int(ended.num(0, "signal")), ended.str("reason"), ended.str("message"))["meaning"])
			}
		}, "status", "containerStatuses")
	}
	t.state(e, signal.JobFailed, failed.time("lastTransitionTime"), "the job controller: "+brief(failed.str("message")), facts)
}

// ended says whether a job has done its work, or was given up.
func ended(j object) bool {
	return j.condition("Complete").str("status") == "True" || j.condition("Failed").str("status") == "True"
}

// cronProblems are the reasons of the events about a CronJob that starts no jobs (pkg/controller/cronjob/cronjob_controllerv2.go).
var cronProblems = map[string]string{"UnparseableSchedule": "schedule", "UnParseableCronJobSchedule": "schedule", "InvalidSchedule": "schedule", "UnknownTimeZone": "time_zone",
	"MissSchedule": "missed", "TooManyMissedTimes": "missed", "FailedNeedsStart": "missed", "FailedCreate": "refused", "JobAlreadyActive": "active"}

// skipped is how many times in a row a CronJob may pass by because its job still runs, before that is told: one may take longer.
const skipped = 3

// cronJob tells of a CronJob that starts no jobs. One that is suspended was meant to be.
func (t *telling) cronJob(c object) {
	if c.leaving() || c.yes("spec", "suspend") {
		return
	}
	for _, ev := range t.told("CronJob", c, t.now.Add(-lately)) {
		problem := cronProblems[ev.str("reason")]
		if problem == "" || c.time("status", "lastScheduleTime").After(occurred(ev)) {
			continue // it has started one since
		}
		if problem == "active" && (c.count("status", "active") == 0 || times(ev) < skipped) {
			continue
		}
		facts := map[string]string{"problem": problem, "message": strings.TrimSuffix(brief(said(ev)), "."), "schedule": c.str("spec", "schedule")}
		c.each(func(job object) { facts["job"] = job.str("name") }, "status", "active")
		e := entity.Named(entity.CronJob, c.namespace(), c.name())
		if problem == "refused" {
			t.refused(e, began(ev), said(ev))
			return
		}
		t.state(e, signal.CronMissed, began(ev), "the CronJob's controller: "+facts["message"], facts)
		return
	}
}
