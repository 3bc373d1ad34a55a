namespace Flotilla.Client;

/// <summary>
/// Ends exchanges whose time is over. One timer looks at all connections of the process now and then: a timer for each
/// request, set and cleared again thousands of times a second to go off almost never, costs more than the parsing.
/// Thread-safe.
/// </summary>
internal static class DeadlineSweeper
{
    /// <summary>How late an exchange may be ended.</summary>
    public const int ResolutionMs = 20;

    private static readonly Lock Gate = new();
    private static readonly List<Http1Connection> Connections = [];
    private static readonly Timer Clock = new(static _ => Sweep());

    /// <summary>Watches over a connection from now on.</summary>
    public static void Add(Http1Connection connection)
    {
        lock (Gate)
        {
            connection.SweeperIndex = Connections.Count;
            Connections.Add(connection);
            if (Connections.Count == 1)
            {
                _ = Clock.Change(ResolutionMs, ResolutionMs);
            }
        }
    }

    /// <summary>Forgets a connection; it may have been forgotten before.</summary>
    public static void Remove(Http1Connection connection)
    {
        lock (Gate)
        {
            var index = connection.SweeperIndex;
            if (index < 0)
            {
                return;
            }

            // The last one takes the place, so that neither end of this costs a search.
            var last = Connections[^1];
            Connections[index] = last;
            last.SweeperIndex = index;
            Connections.RemoveAt(Connections.Count - 1);
            connection.SweeperIndex = -1;
            if (Connections.Count == 0)
            {
                _ = Clock.Change(Timeout.Infinite, Timeout.Infinite);
            }
        }
    }

    private static void Sweep()
    {
        Http1Connection[] all;
        lock (Gate)
        {
            all = [.. Connections];
        }

        // Outside the lock: closing a socket runs whatever waited for it.
        var now = Environment.TickCount64;
        foreach (var connection in all)
        {
            connection.AbortIfLate(now);
        }
    }
}
