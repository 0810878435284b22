package forecast

import "time"

// maxLeft bounds the time to a known date (s): a century, far beyond any certificate.
const maxLeft = 100 * 365 * 24 * 3600

// Dated is the forecast of an end whose date is known, such as a certificate's: left seconds after now, or before it. There is
// nothing to estimate: the interval is the date, and it is certain that it comes.
func Dated(now time.Time, left float64) Forecast {
	if now.IsZero() || !(left > -maxLeft && left < maxLeft) {
		return silent(Needed, "the date is not known")
	}
	at := now.Add(time.Duration(left * float64(time.Second)))
	return Forecast{At: at, Earliest: at, Latest: at, Confidence: 1, Samples: Needed, Reason: "the date is known"}
}
