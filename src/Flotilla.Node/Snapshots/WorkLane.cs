using System.Collections.Concurrent;

namespace Flotilla.Node.Snapshots;

/// <summary>A thread that does pieces of work in order, for what may block on the disk. What waits at the end is dropped.</summary>
internal sealed class WorkLane : IDisposable
{
    private readonly BlockingCollection<Action> _work = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _thread;
    private readonly Action<Exception> _failed;

    /// <param name="name">The thread's name.</param>
    /// <param name="failed">Told of an exception that a piece of work let through; the lane goes on.</param>
    public WorkLane(string name, Action<Exception> failed)
    {
        _failed = failed;
        _thread = new Thread(Run) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Cancelled when the lane is to end: long work looks at it.</summary>
    public CancellationToken Stopping => _stop.Token;

    /// <summary>Adds a piece of work. Any thread. Dropped if the lane has ended.</summary>
    public void Add(Action work)
    {
        try
        {
            _work.Add(work);
        }
        catch (InvalidOperationException)
        {
            // It has ended: the node is stopping, and nobody waits for the result.
        }
    }

    /// <summary>Waits unless the lane is to end meanwhile.</summary>
    public void Pause(TimeSpan time)
    {
        if (time > TimeSpan.Zero)
        {
            _stop.Token.WaitHandle.WaitOne(time);
        }
    }

    /// <summary>Ends after the piece of work at hand.</summary>
    public void Dispose()
    {
        if (!_work.IsAddingCompleted)
        {
            _work.CompleteAdding();
            _stop.Cancel();
            _thread.Join();
            _work.Dispose();
            _stop.Dispose();
        }
    }

    private void Run()
    {
        foreach (var work in _work.GetConsumingEnumerable())
        {
            if (_stop.IsCancellationRequested)
            {
                return;
            }

            try
            {
                work();
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                _failed(e);
            }
        }
    }
}
