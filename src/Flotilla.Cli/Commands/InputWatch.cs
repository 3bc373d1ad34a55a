namespace Flotilla.Cli.Commands;

/// <summary>
/// Ends a child when its parent is gone, however the parent ended: the parent holds the other end of the child's standard
/// input, which the kernel closes with the parent. (PR_SET_PDEATHSIG would watch the parent's thread, not its process.)
/// </summary>
internal static class InputWatch
{
    /// <summary>A source that is cancelled when the shell is told to stop and, if <paramref name="watch"/>, when standard input ends.</summary>
    public static CancellationTokenSource Start(bool watch, Shell shell)
    {
        var stop = CancellationTokenSource.CreateLinkedTokenSource(shell.Stop);
        if (watch)
        {
            // A thread of its own, since a read of a pipe blocks one for good.
            new Thread(() =>
            {
                try
                {
                    using var input = shell.StdIn();
                    var scratch = new byte[256];
                    while (input.Read(scratch) > 0)
                    {
                    }

                    stop.Cancel();
                }
                catch (Exception end) when (end is IOException or ObjectDisposedException)
                {
                    // The command has ended by itself meanwhile, or the pipe broke: nothing is left to stop.
                }
            })
            { IsBackground = true, Name = "parent watch" }.Start();
        }

        return stop;
    }
}
