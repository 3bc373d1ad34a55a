namespace Flotilla.Simulation.Time;

/// <summary>
/// Virtual time: a queue of events by time and, within an instant, in the order of their scheduling, so that a run repeats
/// itself exactly. Microseconds since the start of the simulation.
/// </summary>
public sealed class Scheduler
{
    private readonly PriorityQueue<Action, (long Time, long Order)> _events = new();
    private long _order;

    /// <summary>The virtual time.</summary>
    public long NowUs { get; private set; }

    /// <summary>Events carried out so far.</summary>
    public long Events { get; private set; }

    /// <summary>Schedules an event; one in the past happens now.</summary>
    public void At(long timeUs, Action action) => _events.Enqueue(action, (Math.Max(timeUs, NowUs), _order++));

    /// <summary>Schedules an event.</summary>
    public void After(long delayUs, Action action) => At(NowUs + delayUs, action);

    /// <summary>Carries out all events up to a time, or until told to stop.</summary>
    public void RunUntil(long timeUs, Func<bool>? stop = null)
    {
        while (_events.TryPeek(out var action, out var key) && key.Time <= timeUs)
        {
            _events.Dequeue();
            NowUs = key.Time;
            Events++;
            action();
            if (stop?.Invoke() == true)
            {
                return;
            }
        }

        NowUs = Math.Max(NowUs, timeUs);
    }
}
