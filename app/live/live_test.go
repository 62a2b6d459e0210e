package live

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPublishReachesTheTopicOnly(t *testing.T) {
	h := New()
	a, endA := h.Subscribe("job:1", 4)
	b, endB := h.Subscribe("job:2", 4)
	defer endB()
	h.Publish("job:1", Event{Type: "state", Data: 7})
	if e := <-a; e.Type != "state" || e.Data != 7 {
		t.Errorf("got %+v", e)
	}
	select {
	case e := <-b:
		t.Errorf("another topic's reader got %+v", e)
	default:
	}
	endA()
	endA() // twice is harmless
	if _, open := <-a; open || h.Readers("job:1") != 0 {
		t.Error("the subscription did not end")
	}
	h.Publish("job:1", Event{}) // nobody listens
}

func TestEventsKeepTheirOrder(t *testing.T) {
	h := New()
	ch, end := h.Subscribe("home", 100)
	defer end()
	for i := range 100 {
		h.Publish("home", Event{Data: i})
	}
	for i := range 100 {
		if e := <-ch; e.Data != i {
			t.Fatalf("event %d is %v", i, e.Data)
		}
	}
}

func TestSlowReadersAreDropped(t *testing.T) {
	for _, buffer := range []int{-1, 0, 1, 8} {
		h := New()
		slow, end := h.Subscribe("home", buffer)
		quick, endQuick := h.Subscribe("home", 100)
		for i := range 20 {
			h.Publish("home", Event{Data: i}) // never blocks
		}
		got := 0
		for range slow { // ends because the channel is closed
			got++
		}
		if want := max(buffer, 1); got != want {
			t.Errorf("buffer %d: %d events before the drop, want %d", buffer, got, want)
		}
		if len(quick) != 20 || h.Readers("home") != 1 {
			t.Errorf("the quick reader has %d events; %d readers left", len(quick), h.Readers("home"))
		}
		end() // after the drop: harmless
		endQuick()
	}
}

func TestManyPublishersAndReaders(t *testing.T) {
	h := New()
	var wg sync.WaitGroup
	var seen atomic.Int64
	for range 16 {
		wg.Go(func() {
			for range 50 {
				ch, end := h.Subscribe("home", 2)
				timer := time.NewTimer(time.Millisecond)
				select {
				case <-ch:
					seen.Add(1)
				case <-timer.C:
				}
				end()
			}
		})
		wg.Go(func() {
			for i := range 200 {
				h.Publish("home", Event{Data: i})
			}
		})
	}
	wg.Wait()
	if h.Readers("home") != 0 || seen.Load() == 0 {
		t.Errorf("%d readers left, %d events seen", h.Readers("home"), seen.Load())
	}
}

func BenchmarkPublish(b *testing.B) {
	h := New()
	for range 100 {
		ch, _ := h.Subscribe("home", 1)
		go func() {
			for range ch {
			}
		}()
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.Publish("home", Event{})
		}
	})
}
