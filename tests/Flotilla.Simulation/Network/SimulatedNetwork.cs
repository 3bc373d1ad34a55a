using Flotilla.Simulation.Time;

namespace Flotilla.Simulation.Network;

/// <summary>How the links behave. Changes at any time.</summary>
public sealed class LinkQuality
{
    /// <summary>Probability that a message is lost.</summary>
    public double Loss { get; set; }

    /// <summary>Probability that it arrives twice, the second time up to seconds later.</summary>
    public double Duplication { get; set; }

    /// <summary>Probability that it takes a long way, and is overtaken.</summary>
    public double Detour { get; set; }

    /// <summary>Mean delay in microseconds.</summary>
    public double DelayUs { get; set; } = 300;

    /// <summary>Longest detour in microseconds.</summary>
    public long DetourUs { get; set; } = 200_000;
}

/// <summary>
/// Links between numbered nodes that lose, delay, reorder and duplicate, and can be cut in either direction. A message that
/// is under way when a link is cut is lost, too.
/// </summary>
public sealed class SimulatedNetwork(Scheduler scheduler, Chance chance, int nodes)
{
    private const int HeaderUs = 20;
    private readonly bool[,] _cut = new bool[nodes, nodes];
    private readonly bool[,] _lasting = new bool[nodes, nodes];

    /// <summary>How the links behave now.</summary>
    public LinkQuality Quality { get; } = new();

    /// <summary>Messages handed in.</summary>
    public long Sent { get; private set; }

    /// <summary>Cuts or mends one direction of a link.</summary>
    public void SetCut(int from, int to, bool cut) => _cut[from, to] = cut;

    /// <summary>Cuts or mends one direction of a link, and nothing but this or <see cref="MendAll"/> mends it: cuts that are over leave it as it is.</summary>
    public void SetLastingCut(int from, int to, bool cut) => _lasting[from, to] = cut;

    /// <summary>Cuts a node off from others for so many microseconds: what it sends, what it is sent, or both.</summary>
    public void CutFor(long us, int node, IReadOnlyList<int> others, bool sends = true, bool receives = true)
    {
        Set(true);
        scheduler.After(us, () => Set(false));

        void Set(bool isCut)
        {
            foreach (var other in others)
            {
                if (sends)
                {
                    SetCut(node, other, isCut);
                }

                if (receives)
                {
                    SetCut(other, node, isCut);
                }
            }
        }
    }

    /// <summary>Mends every link.</summary>
    public void MendAll()
    {
        Array.Clear(_cut);
        Array.Clear(_lasting);
    }

    /// <summary>Whether no message can get from one node to another now.</summary>
    public bool IsCut(int from, int to) => _cut[from, to] || _lasting[from, to];

    /// <summary>Sends: <paramref name="deliver"/> is called once, twice or never.</summary>
    public void Send(int from, int to, Action deliver)
    {
        Sent++;
        if (IsCut(from, to) || chance.Hit(Quality.Loss))
        {
            return;
        }

        Deliver(from, to, deliver, chance.Hit(Quality.Detour) ? chance.Between(HeaderUs, Quality.DetourUs) : HeaderUs + chance.Exponential(Quality.DelayUs));
        if (chance.Hit(Quality.Duplication))
        {
            Deliver(from, to, deliver, chance.Between(HeaderUs, chance.Hit(0.2) ? 5_000_000 : 50_000));
        }
    }

    private void Deliver(int from, int to, Action deliver, long delayUs) => scheduler.After(delayUs, () =>
    {
        if (!IsCut(from, to))
        {
            deliver();
        }
    });
}
